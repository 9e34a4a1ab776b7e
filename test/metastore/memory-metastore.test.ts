import { MemoryMetastore } from '../../src/index.ts';
import { metastoreContract } from '../contract/metastore-contract.ts';

metastoreContract('memory', () => new MemoryMetastore());
