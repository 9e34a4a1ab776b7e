import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { kmsContract } from '../../support/contract/kms-contract.ts';

kmsContract('our emulator', async () => {
  const { endpoint, close } = await startKmsEmulator();
  return { endpoint, stop: close };
});
