import { MemoryMetastore } from '../src/index.ts';

/** An in-memory metastore that counts its calls as DynamoDB would charge for them. */
export class CountingMetastore extends MemoryMetastore {
  counts = { Get: 0, Query: 0, Put: 0 };

  /** The calls since this method was last called, such as `1 Query, 1 Put`. */
  take(): string {
    const said = Object.entries(this.counts).filter(([, n]) => n > 0);
    this.counts = { Get: 0, Query: 0, Put: 0 };
    return said.map(([name, n]) => `${n} ${name}`).join(', ') || 'none';
  }

  override load(...args: Parameters<MemoryMetastore['load']>): ReturnType<MemoryMetastore['load']> {
    this.counts.Get += 1;
    return super.load(...args);
  }

  override loadLatest(...args: Parameters<MemoryMetastore['loadLatest']>): ReturnType<MemoryMetastore['loadLatest']> {
    this.counts.Query += 1;
    return super.loadLatest(...args);
  }

  override loadRecent(...args: Parameters<MemoryMetastore['loadRecent']>): ReturnType<MemoryMetastore['loadRecent']> {
    this.counts.Query += 1;
    return super.loadRecent(...args);
  }

  override store(...args: Parameters<MemoryMetastore['store']>): ReturnType<MemoryMetastore['store']> {
    this.counts.Put += 1;
    return super.store(...args);
  }
}
