/** Prevents the AWS SDK from searching for credentials, and from finding real ones, in all tests. */
process.env['AWS_ACCESS_KEY_ID'] = 'local';
process.env['AWS_SECRET_ACCESS_KEY'] = 'local';
process.env['AWS_REGION'] = 'us-west-2';
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
