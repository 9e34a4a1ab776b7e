import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { awsKmsContract } from '../../support/contract/kms-contract.ts';

awsKmsContract('our emulator', async () => {
  const { endpoint, close } = await startKmsEmulator();
  return { endpoint, stop: close };
});
