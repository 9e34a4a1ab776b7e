import type { Message } from '@aws-sdk/client-sqs';
import { decodeCompactRecord } from '../../../src/records/compact-record.ts';
import type { SessionFactory } from '../../../src/index.ts';
import { groupOf, partitionOf, secretOf, type Planned } from './load.ts';

/** The messages in the output queues, in the order in which they arrived. */
export interface Arrivals {
  readonly results: readonly Message[];
  readonly letters: readonly Message[];
  /** How often the test killed the function in the middle of an invocation. */
  readonly kills: number;
}

/** The results of a run, once the function has processed all messages. */
export class Findings {
  /** Descriptions of lost, wrong or misordered messages. Empty if there are none. */
  readonly faults: string[] = [];
  readonly kills: number;
  readonly #results: readonly Message[];

  constructor(kind: 'standard' | 'fifo', load: readonly Planned[], { results, letters, kills }: Arrivals) {
    this.kills = kills;
    this.#results = results;
    const done = new Set(results.map(placeOf));
    const dead = new Set(letters.map(placeOf));
    for (const { place, isPoison, entry } of load) {
      if (done.has(place) === isPoison) this.faults.push(`${place} ${isPoison ? 'has a result' : 'is lost'}`);
      if (dead.has(place) !== isPoison) this.faults.push(`${place} is ${isPoison ? 'lost' : 'a dead letter'}`);
      const letter = isPoison ? letters.find((one) => placeOf(one) === place) : undefined;
      if (letter !== undefined && !isAsItCame(letter, entry.MessageBody)) {
        this.faults.push(`${place} is not as it came, or without its reason`);
      }
    }
    if (kind === 'fifo') this.#judgeOrder([...done]);
  }

  /** Decrypts a result. */
  async open(keyfold: SessionFactory): Promise<void> {
    for (const message of this.#results) {
      const { document } = JSON.parse(message.Body ?? '') as { document: { place: number; secret: string } };
      const place = placeOf(message);
      const opened = await keyfold.session(partitionOf(place)).decrypt(decodeCompactRecord(document.secret).record);
      const isWell = document.place === place && opened.toString() === JSON.stringify(secretOf(place));
      if (!isWell) this.faults.push(`${place} holds what it should not`);
    }
  }

  /** Checks that the first results of each group arrived in the order in which its messages were sent. */
  #judgeOrder(places: readonly number[]): void {
    for (const [group, ofGroup] of Map.groupBy(places, groupOf)) {
      const isInOrder = ofGroup.every((place, i) => i === 0 || place > (ofGroup[i - 1] ?? 0));
      if (!isInOrder) this.faults.push(`${group} is out of order: ${ofGroup.join()}`);
    }
  }
}

function isAsItCame({ Body, MessageAttributes = {} }: Message, body: string | undefined): boolean {
  return Body === body && MessageAttributes['keyfold-error-code']?.StringValue !== undefined;
}

function placeOf({ MessageAttributes }: Message): number {
  return Number(MessageAttributes?.['place']?.StringValue);
}
