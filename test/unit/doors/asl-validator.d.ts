declare module 'asl-validator' {
  /** Validates a Step Functions state machine in the Amazon States Language. */
  export default function validate(definition: unknown): {
    readonly isValid: boolean;
    readonly errorsText: () => string;
  };
}
