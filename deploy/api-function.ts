/** The names and ARNs with which a region's API or function URL refers to the function `api`. */
import type { Deployment } from './deployment.ts';

/**
 * The alias that osls makes for provisioned concurrency. Its name is the same for every function. The logical ID is
 * that of the alias of the function `api`.
 */
const PROVISIONED = { name: 'provisioned', id: 'ApiProvConcLambdaAlias' };

/** References to the function `api`. osls creates an alias for it only if it has provisioned concurrency. */
export interface ApiFunction {
  /** The ARN that requests invoke: the alias, or the function itself if it has no alias. */
  readonly invoked: object;
  /** The ARN of the function itself. */
  readonly arn: object;
  readonly alias: { readonly name: string; readonly id: string } | undefined;
}

export function apiFunctionOf({ functions }: Deployment): ApiFunction {
  const arn = { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] };
  return functions.api.provisionedConcurrency > 0
    ? { arn, invoked: { Ref: PROVISIONED.id }, alias: PROVISIONED }
    : { arn, invoked: arn, alias: undefined };
}
