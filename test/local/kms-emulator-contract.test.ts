import { startKmsEmulator } from '../../local/kms-emulator/kms-emulator.ts';
import { kmsContract } from '../contract/kms-contract.ts';

kmsContract('our emulator', async () => {
  const { endpoint, close } = await startKmsEmulator();
  return { endpoint, stop: close };
});
