/**
 * Every error a client can meet, as etcd words it. Texts are API: clients match them.
 */
export const Code = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: Code;
  constructor(code: Code, message: string) {
    super(message);
    this.code = code;
  }
}

const error = (code: Code, message: string): ApiError => new ApiError(code, message);

export const errors = {
  emptyKey: error(Code.InvalidArgument, "etcdserver: key is not provided"),
  keyNotFound: error(Code.InvalidArgument, "etcdserver: key not found"),
  valueProvided: error(Code.InvalidArgument, "etcdserver: value is provided"),
  leaseProvided: error(Code.InvalidArgument, "etcdserver: lease is provided"),
  tooManyOps: error(Code.InvalidArgument, "etcdserver: too many operations in txn request"),
  duplicateKey: error(Code.InvalidArgument, "etcdserver: duplicate key given in txn request"),
  invalidClientApiVersion: error(Code.InvalidArgument, "etcdserver: invalid client api version"),
  invalidSortOption: error(Code.InvalidArgument, "etcdserver: invalid sort option"),
  requestTooLarge: error(Code.InvalidArgument, "etcdserver: request is too large"),
  memberBadUrls: error(Code.InvalidArgument, "etcdserver: given member URLs are invalid"),
  compacted: error(Code.OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
  futureRevision: error(Code.OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
  leaseTtlTooLarge: error(Code.OutOfRange, "etcdserver: too large lease TTL"),
  noSpace: error(Code.ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
  tooManyRequests: error(Code.Unknown, "etcdserver: too many requests"),
  leaseNotFound: error(Code.NotFound, "etcdserver: requested lease not found"),
  leaseExists: error(Code.FailedPrecondition, "etcdserver: lease already exists"),
  memberNotFound: error(Code.NotFound, "etcdserver: member not found"),
  memberExists: error(Code.FailedPrecondition, "etcdserver: member ID already exist"),
  peerUrlExists: error(Code.FailedPrecondition, "etcdserver: Peer URLs already exists"),
  memberNotLearner: error(Code.FailedPrecondition, "etcdserver: can only promote a learner member"),
  learnerNotReady: error(
    Code.FailedPrecondition,
    "etcdserver: can only promote a learner member which is in sync with leader",
  ),
  tooManyLearners: error(Code.FailedPrecondition, "etcdserver: too many learner members in cluster"),
  notEnoughStartedMembers: error(Code.Unknown, "etcdserver: re-configuration failed due to not enough started members"),
  /** etcd crashes on it (N-10). */
  unknownAlarmAction: error(Code.InvalidArgument, "etcdserver: unknown alarm action"),
  downgradeWrongFormat: error(Code.InvalidArgument, "etcdserver: wrong downgrade target version format"),
  downgradeInvalidTarget: error(Code.InvalidArgument, "etcdserver: invalid downgrade target version"),
  downgradeNoClusterVersion: error(Code.FailedPrecondition, "etcdserver: cluster version not found during downgrade"),
  downgradeInProgress: error(Code.FailedPrecondition, "etcdserver: cluster has a downgrade job in progress"),
  downgradeNotInflight: error(Code.FailedPrecondition, "etcdserver: no inflight downgrade job"),
  unknownDowngradeAction: error(Code.Unknown, "etcdserver: unknown method"),
  /** An entry of the log that no version of the data format knows; it has no effect, on every member alike. */
  malformedEntry: error(Code.Internal, "etcdserver: malformed log entry"),
  /** A command of the log that this version does not execute; it has no effect. */
  unsupportedCommand: error(Code.Unimplemented, "etcdserver: request is not supported"),
  noLeader: error(Code.Unavailable, "etcdserver: no leader"),
  notLeader: error(Code.FailedPrecondition, "etcdserver: not leader"),
  badLeaderTransferee: error(Code.FailedPrecondition, "etcdserver: bad leader transferee"),
  timeoutLeaderTransfer: error(Code.Unknown, "etcdserver: request timed out, leader transfer took too long"),
  leaderChanged: error(Code.Unavailable, "etcdserver: leader changed"),
  notCapable: error(Code.FailedPrecondition, "etcdserver: not capable"),
  stopped: error(Code.Unavailable, "etcdserver: server stopped"),
  timeout: error(Code.Unavailable, "etcdserver: request timed out"),
  timeoutLeaderFailure: error(
    Code.Unavailable,
    "etcdserver: request timed out, possibly due to previous leader failure",
  ),
  timeoutConnectionLost: error(Code.Unavailable, "etcdserver: request timed out, possibly due to connection lost"),
  timeoutWaitApplied: error(
    Code.Unavailable,
    "etcdserver: request timed out, waiting for the applied index took too long",
  ),
  unhealthy: error(Code.Unavailable, "etcdserver: unhealthy cluster"),
  corrupt: error(Code.DataLoss, "etcdserver: corrupt cluster"),
  notSupportedForLearner: error(Code.FailedPrecondition, "etcdserver: rpc not supported for learner"),
  deadlineExceeded: error(Code.DeadlineExceeded, "context deadline exceeded"),
  canceled: error(Code.Canceled, "context canceled"),
} as const;

/** 12: a method that this server does not have, in grpc-go's words. */
export function unknownMethod(service: string, method: string): ApiError {
  return error(Code.Unimplemented, `unknown method ${method} for service ${service}`);
}

/** 12: a method of the API that this version does not serve yet. */
export function notImplemented(service: string, method: string): ApiError {
  return error(Code.Unimplemented, `quorate: method ${method} of service ${service} is not implemented yet`);
}

export function unknownService(service: string): ApiError {
  return error(Code.Unimplemented, `unknown service ${service}`);
}

export function messageTooLarge(bytes: number, limit: number): ApiError {
  return error(Code.ResourceExhausted, `grpc: received message larger than max (${bytes} vs. ${limit})`);
}

export function malformed(reason: string): ApiError {
  return error(Code.Internal, `grpc: error unmarshalling request: ${reason}`);
}
