/** No test looks for AWS credentials anywhere, nor can it find real ones. */
process.env['AWS_ACCESS_KEY_ID'] = 'local';
process.env['AWS_SECRET_ACCESS_KEY'] = 'local';
process.env['AWS_REGION'] = 'us-west-2';
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
