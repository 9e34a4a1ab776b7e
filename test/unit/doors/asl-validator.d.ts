declare module 'asl-validator' {
  /** Validates a state machine of Step Functions, in the Amazon States Language. */
  export default function validate(definition: unknown): {
    readonly isValid: boolean;
    readonly errorsText: () => string;
  };
}
