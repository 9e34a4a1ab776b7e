import type { KeyService } from './key-service.ts';
import type { LocalQueues } from './queues.ts';

/** The servers and the data folder that the greeting describes. */
export interface Places {
  readonly apiUrl: string;
  readonly keyService: KeyService;
  readonly dynamoDbUrl: string;
  readonly table: string;
  readonly queues: LocalQueues;
  /** The folder that keeps keys and tables. If undefined, they are in memory. */
  readonly data: string | undefined;
}

/** The text that the terminal shows first: the addresses of the servers, and commands to try. */
export function greeting({ apiUrl, keyService, dynamoDbUrl, table, queues, data }: Places): string {
  const post = `curl -s -H 'content-type: application/json' ${apiUrl}/v1/partitions/tenant-1`;
  const steps = [
    ['Encrypt "hello":', `${post}/encrypt -d '{"plaintext":"aGVsbG8="}' | tee record.json`],
    ['Decrypt it:', `${post}/decrypt -d @record.json`],
    ...keyService.trials(`curl -s -X POST ${apiUrl}/local/cold-start`),
    [
      `Post to the queue, and read the result (the AWS CLI does it too, with --endpoint-url ${queues.endpoint}):`,
      queues.sampleCommand,
    ],
  ];
  return `
Keyfold runs on this machine alone:
  Page       ${apiUrl}/   open it in a browser
  API        ${apiUrl}   (health: ${apiUrl}/v1/health)
  Lambda     ${apiUrl}   its Invoke API, for keyfold-seal and keyfold-open (--endpoint-url)
  ${keyService.name.padEnd(10)} ${keyService.url}   ${keyService.description}
  DynamoDB   ${dynamoDbUrl}   emulated, table ${table}
  SQS        ${queues.endpoint}   emulated, queues ${queues.names.join(', ')}; in memory
  ${keptIn(data, keyService)}

${steps.map(([title, command], i) => `${i + 1}. ${title}\n   ${command}`).join('\n')}

Each request shows as a line here (--verbose: the functions' logs and metrics, too).
`;
}

function keptIn(data: string | undefined, { emulator }: KeyService): string {
  if (data !== undefined) return `Keys and tables are kept in ${data}, the keys in the clear: for trials only.`;
  const keeping = emulator === undefined ? '' : ' (--data DIR keeps them)';
  return `Keys and tables are in memory: what you encrypt is lost when this stops${keeping}.`;
}
