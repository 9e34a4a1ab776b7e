import { awsKmsContract } from '../support/contract/kms-contract.ts';
import { AWS_ENVIRONMENT, startMoto } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

awsKmsContract('moto', startMoto, { keyStates: true, keyIdOnDecrypt: true, rotationPeriod: true });
