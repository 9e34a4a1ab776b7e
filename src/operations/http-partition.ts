/**
 * Valid names of partitions over HTTP. A URL path can contain each of these names in only one spelling, so no other
 * spelling can bypass an IAM policy.
 */
export const HTTP_PARTITION = /^(?!\.{1,2}$)[A-Za-z0-9._~@-]{1,128}$/;

/** The error detail for an invalid partition name. */
export const NO_HTTP_PARTITION = 'Over HTTP a partition is 1 to 128 of A-Z a-z 0-9 . _ ~ @ -, and not . or .. itself.';
