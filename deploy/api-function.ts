/** The names and ARNs by which the entry of a region refers to the function `api`. */
import type { Deployment } from './deployment.ts';

/**
 * The name that osls gives an alias with provisioned concurrency, and the logical name of that alias for the function
 * `api`.
 */
const PROVISIONED = { name: 'provisioned', id: 'ApiProvConcLambdaAlias' };

/** References to the function `api`. osls makes its alias only if it has provisioned concurrency. */
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
