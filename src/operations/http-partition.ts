/** A partition over HTTP. One way of writing each: what could be encoded in two could slip past a policy on the path. */
export const HTTP_PARTITION = /^(?!\.{1,2}$)[A-Za-z0-9._~@-]{1,128}$/;

/** What is said of any other. */
export const NO_HTTP_PARTITION = 'Over HTTP a partition is 1 to 128 of A-Z a-z 0-9 . _ ~ @ -, and not . or .. itself.';
