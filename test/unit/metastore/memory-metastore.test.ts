import { MemoryMetastore } from '../../../src/index.ts';
import { metastoreContract } from '../../support/contract/metastore-contract.ts';

metastoreContract('memory', () => new MemoryMetastore());
