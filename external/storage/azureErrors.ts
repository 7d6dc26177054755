/** What Blob Storage says when something fails, as an error of ours. */
import type { ErrorName, PgPierError } from '../../errors.ts';
import { type AzureRequest, azureError } from '../azure/errors.ts';

export function azureBlobError(error: unknown, request: AzureRequest): PgPierError {
  return azureError(error, request, 'Azure Blob Storage', request.operation === 'write' ? byCodeOfWrites : byCode);
}

const byCode: Readonly<Record<string, ErrorName>> = {
  BlobNotFound: 'storageObjectMissing',
  ResourceNotFound: 'storageObjectMissing',
  ContainerNotFound: 'storageContainerMissing',
  ContainerBeingDeleted: 'storageContainerMissing',
  InvalidResourceName: 'storageContainerMissing',
  AuthenticationFailed: 'storageSecretWrong',
  InvalidAuthenticationInfo: 'storageCredentialsRejected',
  NoAuthenticationInformation: 'storageCredentialsRejected',
  KeyBasedAuthenticationNotPermitted: 'storageCredentialsRejected',
  AccountIsDisabled: 'storageCredentialsRejected',
  AuthorizationFailure: 'storageAccessDenied',
  AuthorizationPermissionMismatch: 'storageAccessDenied',
  InsufficientAccountPermissions: 'storageAccessDenied',
  BlobArchived: 'storageAccessDenied',
  BlobBeingRehydrated: 'storageAccessDenied',
  BlobImmutableDueToPolicy: 'storageAccessDenied',
  ServerBusy: 'storageBusy',
  OperationTimedOut: 'storageTimeout',
  ConditionNotMet: 'storageChanged',
  RequestBodyTooLarge: 'storageTooLarge',
  BlockCountExceedsLimit: 'storageTooLarge',
  // A block that was sent and is gone: somebody else's Put Block List of the same name dropped it.
  InvalidBlockList: 'storageOvertaken',
};

/** Writing has one condition alone. */
const byCodeOfWrites: Readonly<Record<string, ErrorName>> = {
  ...byCode,
  BlobAlreadyExists: 'storageObjectExists',
  ConditionNotMet: 'storageObjectExists',
};
