import { MemoryMetastore } from '../../../src/index.ts';
import { runMetastoreContracts } from '../../support/contract/bind.ts';

const metastore = new MemoryMetastore();
runMetastoreContracts('memory', () => metastore);
