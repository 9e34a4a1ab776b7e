declare module 'yaml-cfn' {
  /** Reads a CloudFormation template. Short tags become their long form: `!Ref` becomes `{ Ref }`. */
  export function yamlParse(text: string): unknown;
}
