import { describe, expect, it } from 'vitest';
import {
  isFifoQueue,
  isQueueUrl,
  isSameQueue,
  isSendable,
  sizeOf,
  type MessageAttributes,
} from '../../../src/sqs/message.ts';
import { acceptedIn, sorted, WORD } from '../../support/characters.ts';

const HOST = 'https://sqs.us-west-2.amazonaws.com';
const ARN = 'arn:aws:sqs:us-west-2:111122223333:keyfold-input';

function attributes(count: number): MessageAttributes {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`n${i}`, { DataType: 'String', StringValue: 'v' }]),
  );
}

describe('an SQS message', () => {
  it('has the size of its body and its attributes in bytes', () => {
    expect(sizeOf({ body: 'é', attributes: {} })).toBe(2);
    expect(sizeOf({ body: '', attributes: { é: { DataType: 'String.é', StringValue: 'é' } } })).toBe(2 + 9 + 2);
    expect(sizeOf({ body: 'x', attributes: { b: { DataType: 'Binary', BinaryValue: Buffer.alloc(5) } } })).toBe(13);
  });

  it('can be sent if it has at most 1 MiB and ten attributes', () => {
    expect(isSendable({ body: 'x'.repeat(1_048_576), attributes: {} })).toBe(true);
    expect(isSendable({ body: 'x'.repeat(1_048_577), attributes: {} })).toBe(false);
    expect(isSendable({ body: 'x', attributes: attributes(10) })).toBe(true);
    expect(isSendable({ body: 'x', attributes: attributes(11) })).toBe(false);
  });
});

describe('an SQS queue', () => {
  it.for([
    ['can have', `${HOST}/111122223333/keyfold-input`],
    ['can have', 'http://127.0.0.1:9324/111122223333/keyfold-input'],
    ['cannot have', `${HOST}/111122223333/keyfold-output`],
    ['cannot have', `${HOST}/999922223333/keyfold-input`],
    ['cannot have', `${HOST}/111122223333/keyfold-input/x`],
  ] as const)('named keyfold-input %s the URL %s', ([can, url]) => {
    expect(isSameQueue(ARN, url)).toBe(can === 'can have');
  });

  it.for([
    ['can', '/111122223333/keyfold_in-1'],
    ['can', `/111122223333/${'q'.repeat(80)}`],
    ['cannot', `/111122223333/${'q'.repeat(81)}`],
    ['can', `/111122223333/${'q'.repeat(75)}.fifo`],
    ['cannot', `/111122223333/${'q'.repeat(76)}.fifo`],
    ['cannot', '/111122223333/in.put'],
    ['cannot', '/111122223333/'],
    ['cannot', '/11112222333/in'],
    ['cannot', '/1111222233334/in'],
    ['cannot', '/111122223333/in/more'],
    ['cannot', '/x/111122223333/in'],
    ['cannot', '/x/../111122223333/in'],
    ['cannot', '/%2e/111122223333/in'],
    ['cannot', String.raw`\111122223333\in`],
    ['cannot', '/111122223333/in?x=1'],
    ['cannot', '/111122223333/in#x'],
  ] as const)('%s have a URL with the path %s', ([can, path]) => {
    expect(isQueueUrl(HOST + path)).toBe(can === 'can');
  });

  it('has a name of letters, digits, underscores and hyphens', () => {
    for (const form of ['a?b', 'a?b.fifo'])
      expect(acceptedIn(`${HOST}/111122223333/${form}`, isQueueUrl)).toBe(sorted(`${WORD}-`));
  });

  it('is refused if its URL contains credentials', () => {
    expect(isQueueUrl('https://user@sqs.us-west-2.amazonaws.com/111122223333/in')).toBe(false);
    expect(isQueueUrl('https://:word@sqs.us-west-2.amazonaws.com/111122223333/in')).toBe(false);
  });

  it('is a FIFO queue if its name ends with .fifo', () => {
    expect([`${ARN}.fifo`, ARN, `${ARN}.fifo-not`].map(isFifoQueue)).toEqual([true, false, false]);
  });
});
