import { Function as LambdaFunction, type CfnFunction, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { type CfnQueue, type IQueue, Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { optionsOf, type Type } from '../input/checks.ts';
import { AppPart, readPackage } from './app-package.ts';
import { checkedScope } from './infra-template.ts';
import { KeyfoldApi } from './keyfold-api.ts';

const API: Type = { called: 'a KeyfoldApi', holds: (value) => value instanceof KeyfoldApi };

/** The options of a {@link KeyfoldQueue}. */
export interface KeyfoldQueueProps {
  /** The API of the same stack. `queue.kind` in its `deploy.yml` must be `standard` or `fifo`. */
  readonly api: KeyfoldApi;
}

/**
 * Keyfold's function for a queue, with the queues for input, output and dead letters, and their alarms. The construct
 * deploys the queue's part of the packaged app as a nested stack. Deleting the stack does not delete the queues.
 * @example
 * import { App, Stack } from 'aws-cdk-lib';
 * import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
 * import { KeyfoldApi, KeyfoldQueue } from 'keyfold/cdk';
 *
 * const stack = new Stack(new App(), 'keyfold', { env: { account: '111122223333', region: 'us-west-2' } });
 * const api = new KeyfoldApi(stack, 'Api', { packageFolder: '../keyfold/.keyfold/app/keyfold/us-west-2' });
 * const queue = new KeyfoldQueue(stack, 'Queue', { api });
 * const producer = new Role(stack, 'Producer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
 * queue.inputQueue.grantSendMessages(producer);
 */
export class KeyfoldQueue extends Construct {
  /** The queue that the function reads */
  readonly inputQueue: IQueue;
  /** The queue to which the function sends results */
  readonly outputQueue: IQueue;
  /** The dead-letter queue, for messages that would fail at every retry */
  readonly deadLetterQueue: IQueue;
  /** The function that reads the input queue */
  readonly queueFunction: IFunction;

  /** @throws TypeError if `api` is not a `KeyfoldApi`, or if its package has no queue */
  constructor(scope: Construct, id: string, props: KeyfoldQueueProps) {
    super(checkedScope(scope, id), id);
    const { api } = optionsOf<KeyfoldQueueProps>(props, 'props', { api: API });
    if (api.queueRoleArn === undefined) {
      throw new TypeError('props.api has no queue: set queue.kind in deploy.yml, and run npm run package again.');
    }
    const part = new AppPart(this, readPackage(api.packageFolder, 'props.api.packageFolder'), 'queue', {
      QueueRole: api.queueRoleArn,
      ...(api.alarmTopicArn !== undefined && { AlarmTopic: api.alarmTopicArn }),
    });
    const queueOf = (name: string): IQueue => {
      const { attrArn, fifoQueue } = part.include.getResource(name) as CfnQueue;
      return Queue.fromQueueAttributes(this, name, { queueArn: attrArn, fifo: fifoQueue === true });
    };
    this.inputQueue = queueOf('InputQueue');
    this.outputQueue = queueOf('OutputQueue');
    this.deadLetterQueue = queueOf('DeadLetterQueue');
    this.queueFunction = LambdaFunction.fromFunctionAttributes(this, 'Function', {
      functionArn: (part.include.getResource('QueueLambdaFunction') as CfnFunction).attrArn,
      sameEnvironment: true,
    });
  }
}
