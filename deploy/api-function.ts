/** The function `api`, as the entry of a region refers to it. */
import type { Deployment } from './deployment.ts';

/** osls's name for an alias with provisioned concurrency, and the logical name of the alias of the function `api`. */
const PROVISIONED = { name: 'provisioned', id: 'ApiProvConcLambdaAlias' };

/** The function `api`, whose alias osls makes only if the function has provisioned concurrency. */
export interface ApiFunction {
  /** The ARN that the entry invokes: the alias, or the function if it has none. */
  readonly invoked: object;
  /** The ARN of the function itself. */
  readonly arn: object;
  readonly alias: { readonly name: string; readonly id: string } | undefined;
}

/** The function `api` of a deployment. */
export function apiFunctionOf({ functions }: Deployment): ApiFunction {
  const arn = { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] };
  return functions.api.provisionedConcurrency > 0
    ? { arn, invoked: { Ref: PROVISIONED.id }, alias: PROVISIONED }
    : { arn, invoked: arn, alias: undefined };
}
