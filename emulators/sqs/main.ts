/** Runs only the SQS emulator: `npm exec -- pinned-node emulators/sqs/main.ts --port 8083`. */
import { runEmulator } from '../run-emulator.ts';
import { startSqsEmulator } from './sqs-emulator.ts';

await runEmulator((port) => startSqsEmulator({ port }), 8083);
