import { limits } from "../config.ts";
import type { WatchLimits } from "../watch/watch-hub.ts";

/** What watches may cost a member whose clients' requests are no larger than this. */
export function watchLimits(maxRequestBytes: number): WatchLimits {
  return {
    maxStreamBytes: limits.watchStreamBytes,
    maxStreamResponses: limits.watchStreamResponses,
    mergeFromResponses: limits.watchMergeFromResponses,
    mergedBytes: limits.watchMergedBytes,
    maxQueuedBytes: limits.watchQueuedBytes,
    maxWatchers: limits.watchers,
    maxWatcherKeyBytes: limits.watcherKeyBytes,
    sliceRevisions: limits.watchSliceRevisions,
    sliceBytes: limits.watchSliceBytes,
    sliceWatchers: limits.watchSliceWatchers,
    fragmentBytes: maxRequestBytes + limits.watchFragmentOverheadBytes,
  };
}
