/** Runs the KMS emulator in its own process, so that its CPU time is not the contestant's. Ends with its parent. */
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';

const [region = ''] = process.argv.slice(2);
const emulator = await startKmsEmulator();
const { keyArn } = await emulator.ensureKey(region, 'alias/bench');
process.send?.({ endpoint: emulator.endpoint, keyArn });
process.once('disconnect', () => process.exit());
