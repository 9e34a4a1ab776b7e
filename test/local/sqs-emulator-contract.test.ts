import { startSqsEmulator } from '../../local/sqs-emulator/sqs-emulator.ts';
import { sqsContract } from '../contract/sqs-contract.ts';

sqsContract('our emulator', async () => {
  const { endpoint, close } = await startSqsEmulator();
  return { endpoint, stop: close };
});
