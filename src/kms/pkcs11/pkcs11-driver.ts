/** The part of `pkcs11js` that Keyfold uses. The package is an optional peer, so its own types may be absent. */

/** A handle of a slot, a session or an object. */
export type Handle = Buffer;

export interface Attribute {
  readonly type: number;
  readonly value?: Buffer | number | boolean | string;
}

export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: object;
}

/** A PKCS#11 library. Each method blocks, and throws an error whose message is the name of a code, `CKR_…`. */
export interface Pkcs11 {
  load(path: string): void;
  C_Initialize(options: { readonly flags: number }): void;
  C_Finalize(): void;
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): { readonly label: string };
  C_GetMechanismInfo(slot: Handle, mechanism: number): { readonly flags: number };
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, userType: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, max: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(session: Handle, object: Handle, template: readonly Attribute[]): { readonly value: Buffer }[];
  C_CreateObject(session: Handle, template: readonly Attribute[]): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;
  C_EncryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Encrypt(session: Handle, data: Buffer, out: Buffer): Buffer;
  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Decrypt(session: Handle, data: Buffer, out: Buffer): Buffer;
  C_WrapKey(session: Handle, mechanism: Mechanism, wrappingKey: Handle, key: Handle, out: Buffer): Buffer;
  C_UnwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrappingKey: Handle,
    wrapped: Buffer,
    template: readonly Attribute[],
  ): Handle;
}

export interface Pkcs11Driver {
  readonly PKCS11: new () => Pkcs11;
  /** The number by which `pkcs11js` identifies GCM parameters. */
  readonly CK_PARAMS_AES_GCM: number;
}

/** Constants from PKCS#11 2.40. */
export const CKF_OS_LOCKING_OK = 0x2;
export const CKF_SERIAL_SESSION = 0x4;
export const CKF_ENCRYPT_AND_DECRYPT = 0x300;
export const CKF_WRAP_AND_UNWRAP = 0x6_0000;
export const CKU_USER = 1;
export const CKO_SECRET_KEY = 4;
export const CKK_GENERIC_SECRET = 0x10;
export const CKK_AES = 0x1f;
export const CKA_CLASS = 0;
export const CKA_TOKEN = 1;
export const CKA_LABEL = 3;
export const CKA_VALUE = 0x11;
export const CKA_KEY_TYPE = 0x100;
export const CKA_SENSITIVE = 0x103;
export const CKA_VALUE_LEN = 0x161;
export const CKA_EXTRACTABLE = 0x162;
export const CKM: Readonly<Record<'CKM_AES_GCM' | 'CKM_AES_KEY_WRAP_PAD', number>> = {
  CKM_AES_GCM: 0x1087,
  CKM_AES_KEY_WRAP_PAD: 0x210a,
};
