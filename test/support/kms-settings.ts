/** Valid settings of AWS KMS and of a static master key. With Vault or an HSM, Keyfold refuses them. */
export const SETTINGS_OF_OTHER_KMS = {
  KEYFOLD_KMS_KEYS: '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/keyfold"}',
  KEYFOLD_PREFERRED_REGION: 'us-west-2',
  KEYFOLD_MINIMUM_WRAPPED_REGIONS: '1',
  KEYFOLD_STATIC_MASTER_KEY_HEX: '0'.repeat(64),
  KEYFOLD_STATIC_KMS_OVERRIDE: 'yes',
};
