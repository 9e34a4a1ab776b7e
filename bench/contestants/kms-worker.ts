/**
 * Runs the KMS emulator in a separate process, so that the contestant's CPU time does not include it. Ends with its
 * parent process.
 */
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';

const [region = ''] = process.argv.slice(2);
const emulator = await startKmsEmulator();
const { keyArn } = await emulator.ensureKey(region, 'alias/bench');
process.send?.({ endpoint: emulator.endpoint, keyArn });
process.once('disconnect', () => process.exit());
