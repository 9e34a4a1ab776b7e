import { kmsContract } from '../support/contract/kms-contract.ts';
import { AWS_ENVIRONMENT, startMoto } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

kmsContract('moto', startMoto, { keyStates: true, keyIdOnDecrypt: true, rotationPeriod: true });
