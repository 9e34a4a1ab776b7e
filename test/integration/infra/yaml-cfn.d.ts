declare module 'yaml-cfn' {
  /** Reads a CloudFormation template, its short tags (`!Ref`) as what they stand for (`{ Ref }`). */
  export function yamlParse(text: string): unknown;
}
