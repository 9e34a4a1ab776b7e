/** The page in docs/runbooks for each alarm of the app, without the file extension. */
const PAGE_OF: Readonly<Record<string, string>> = {
  SystemKeysNotCreated: 'maintenance-fails',
  SystemKeysNotMaintained: 'rows-corrupted',
  SystemKeysUnopenable: 'kms-key-disabled',
  SystemKeyOld: 'maintenance-fails',
  MaintenanceMissing: 'maintenance-fails',
  MaintenanceErrors: 'maintenance-fails',
  MaintenanceThrottles: 'maintenance-fails',
  KmsWrapsMissing: 'region-lost',
  KmsRegionRefused: 'kms-key-disabled',
  KmsFailovers: 'region-lost',
  StaleServes: 'table-lost',
  RecordsUnreadable: 'rows-corrupted',
  KeysNotVisible: 'replication-stopped',
  KeysRevoked: 'key-compromised',
  MessagesDeadLettered: 'dead-letters',
  DeadLettersWaiting: 'dead-letters',
  MessagesWaitForSomebody: 'messages-wait',
  MessagesUnanswered: 'messages-wait',
  MessagesNotSent: 'messages-wait',
  MessagesAging: 'messages-wait',
  OutputAging: 'output-not-read',
};

/** The path of an alarm's runbook, for the alarm's description. All alarms on failed requests have the same runbook. */
export function runbookOf(alarm: string): string {
  return `docs/runbooks/${PAGE_OF[alarm] ?? 'requests-fail'}.md`;
}
