import { startSqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { sqsContract } from '../../support/contract/sqs-contract.ts';

sqsContract('our emulator', async () => {
  const { endpoint, close } = await startSqsEmulator();
  return { endpoint, stop: close };
});
