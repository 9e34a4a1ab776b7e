import { KeyfoldClient } from 'keyfold/client';
const http = { endpoint: process.env['API_ENDPOINT'] ?? '', region: 'us-west-2' };
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
const tenant = new KeyfoldClient({ http: { ...http, credentials } }).partition('tenant-1');
void tenant.encrypt(Buffer.from('hello')).then(async (record) => process.stdout.write(await tenant.decrypt(record)));
