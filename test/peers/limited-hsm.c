/*
 * SoftHSM as a library that reads two files beside itself:
 * - softhsm2.conf, because SoftHSM finds its configuration by an environment variable alone
 * - limit, the maximum number of open sessions. Most HSMs have such a limit, but SoftHSM has none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CK_PTR *
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#define NULL_PTR 0
#include "pkcs11.h"

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static char folder[4096];
static long sessions;

static void beside(char *path, size_t size, const char *name) { snprintf(path, size, "%s/%s", folder, name); }

static long limit(void) {
  char path[4200];
  long most = 1000000;
  beside(path, sizeof path, "limit");
  FILE *file = fopen(path, "r");
  if (file == NULL) return most;
  if (fscanf(file, "%ld", &most) != 1) most = 0;
  fclose(file);
  return most;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE_PTR session) {
  if (sessions >= limit()) return CKR_SESSION_COUNT;
  CK_RV answer = real->C_OpenSession(slot, flags, application, notify, session);
  if (answer == CKR_OK) sessions += 1;
  return answer;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  CK_RV answer = real->C_CloseSession(session);
  if (answer == CKR_OK) sessions -= 1;
  return answer;
}

static CK_RV initialize(CK_VOID_PTR options) {
  char path[4200];
  beside(path, sizeof path, "softhsm2.conf");
  setenv("SOFTHSM2_CONF", path, 1);
  return real->C_Initialize(options);
}

static CK_RV finalize(CK_VOID_PTR reserved) {
  sessions = 0;
  return real->C_Finalize(reserved);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR answer) {
  Dl_info self;
  if (real == NULL) {
    if (dladdr((void *)C_GetFunctionList, &self) == 0) return CKR_GENERAL_ERROR;
    snprintf(folder, sizeof folder, "%s", self.dli_fname);
    *strrchr(folder, '/') = 0;
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return CKR_GENERAL_ERROR;
    CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    if (get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
    list = *real;
    list.C_Initialize = initialize;
    list.C_Finalize = finalize;
    list.C_OpenSession = open_session;
    list.C_CloseSession = close_session;
  }
  *answer = &list;
  return CKR_OK;
}
