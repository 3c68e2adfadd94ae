/** What clients are told: the release of etcd whose behaviour this server has. */
export const ETCD_API_VERSION = "3.6.14";
/** Version of what is stored, as Status and /version give it (N-1). */
export const STORAGE_VERSION = "3.6.0";
/** Equal to package.json's version; a test keeps it so. */
export const QUORATE_VERSION = "0.1.0";
