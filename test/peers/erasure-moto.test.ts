/**
 * Tests that the status of an erasure lists the backups that still contain the keys. Runs on moto, because the emulator
 * has no DynamoDB backups.
 */
import {
  CreateBackupCommand,
  DeleteBackupCommand,
  DynamoDBClient,
  UpdateContinuousBackupsCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createKeyTable } from '../../local/dynamodb.ts';
import { DAY_MS } from '../support/fakes.ts';
import { OperatorFixture } from '../support/operator.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

const TableName = 'EncryptionKey';
const STATIC = { KEYFOLD_STATIC_MASTER_KEY_HEX: Buffer.alloc(32, 7).toString('hex') };

let moto: PeerServer;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  moto = await startMoto();
  await createKeyTable(moto.endpoint, TableName);
});
afterAll(() => moto.stop());

it('an erasure is complete once neither point-in-time recovery nor a backup can bring the rows back', async () => {
  const client = new DynamoDBClient({ endpoint: moto.endpoint, region: AWS_ENVIRONMENT.AWS_REGION });
  const recover = (PointInTimeRecoveryEnabled: boolean): Promise<unknown> => {
    const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled };
    return client.send(new UpdateContinuousBackupsCommand({ TableName, PointInTimeRecoverySpecification }));
  };
  await recover(true);
  const world = OperatorFixture.at(moto.endpoint);
  await world.service().session('tenant-1').encrypt(Buffer.from('payload'));
  const { BackupDetails } = await client.send(new CreateBackupCommand({ TableName, BackupName: 'nightly' }));
  const erase = async (...options: string[]): Promise<string> => {
    const args = ['partitions', 'erase', 'tenant-1', '--confirm', 'tenant-1', '--reason', 'x', ...options];
    const { code, stdout, stderr } = await world.keyfold(args, STATIC);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });
    return stdout;
  };
  const status = async (): Promise<{ state: string; copies: { kind: string }[] }> =>
    JSON.parse(await erase('--status', '--json')) as { state: string; copies: { kind: string }[] };

  expect(await erase()).toContain('backup nightly (USER)');
  world.clock.advance(8 * DAY_MS);
  await erase('--finish');
  const { state, copies } = await status();
  expect([state, copies.map(({ kind }) => kind)]).toEqual(['deleted', ['point-in-time-recovery', 'backup']]);
  world.clock.advance(36 * DAY_MS);
  expect((await status()).copies.map(({ kind }) => kind)).toEqual(['backup']);
  await client.send(new DeleteBackupCommand({ BackupArn: BackupDetails?.BackupArn }));
  expect(await status()).toMatchObject({ state: 'complete', copies: [] });
});
