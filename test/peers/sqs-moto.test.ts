import { sqsContract } from '../support/contract/sqs-contract.ts';
import { AWS_ENVIRONMENT, startMoto } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

sqsContract('moto', startMoto, { orderOfReturn: true });
