/** Runs only the KMS emulator: `npm exec -- pinned-node emulators/kms/main.ts --port 8081`. */
import { runEmulator } from '../run-emulator.ts';
import { startKmsEmulator } from './kms-emulator.ts';

await runEmulator((port) => startKmsEmulator({ port }), 8081);
