package whimbrel.checker;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Compares two trees, path by path and byte by byte, and writes each difference as a line. */
final class Comparison {
  /** What to leave out of the comparison. */
  record Options(boolean ignoreExtras, boolean ignoreMetadata, boolean ignoreDirectoryTimes) {}

  private final Tree source;
  private final Tree target;
  private final boolean targetHasMarkers;
  private final Options options;
  private final Findings findings;

  Comparison(Tree source, Tree target, Options options, PrintStream out) {
    this.source = source;
    this.target = target;
    this.targetHasMarkers = target instanceof S3Tree;
    this.options = options;
    this.findings = new Findings(out);
    findings.count("bytes_compared", 0);
  }

  /** True if nothing differs. */
  boolean run() throws Exception {
    NavigableMap<String, Tree.Entry> there = target.list();
    NavigableMap<String, Tree.Entry> here = source.list();
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<?>> pending = new ArrayList<>();
    for (Map.Entry<String, Tree.Entry> pair : here.entrySet()) {
      pending.add(
          pool.submit(
              () -> {
                compare(pair.getKey(), pair.getValue(), there);
                return null;
              }));
    }
    for (Future<?> future : pending) {
      future.get();
    }
    pool.shutdown();
    for (Map.Entry<String, Tree.Entry> pair : there.entrySet()) {
      if (!options.ignoreExtras() && !isExpected(pair.getValue(), here)) {
        findings.differ(pair.getValue().path(), "extra", "stands on the target only");
      }
    }
    return findings.summarize();
  }

  private void compare(
      String key, Tree.Entry entry, NavigableMap<String, Tree.Entry> there) throws IOException {
    try {
      switch (entry.kind()) {
        case FILE -> compareFile(entry, there.get(key));
        case DIRECTORY -> compareDirectory(entry, there);
        case OPEN_FILE -> findings.differ(entry.path(), "open", "somebody is writing it");
        case OTHER ->
            findings.differ(entry.path(), "unsupported", "is no file and no directory");
      }
    } catch (IOException | RuntimeException failure) {
      findings.differ(entry.path(), "unreadable", failure.toString());
    }
  }

  private void compareFile(Tree.Entry entry, Tree.Entry other) throws IOException {
    findings.count("files");
    if (other == null) {
      findings.differ(entry.path(), "missing", entry.bytes() + " bytes");
      return;
    }
    if (other.kind() != Tree.Kind.FILE) {
      String kinds = "a file at the source, " + other.kind() + " on the target";
      findings.differ(entry.path(), "kind", kinds);
      return;
    }
    if (entry.bytes() != other.bytes()) {
      findings.differ(entry.path(), "length", entry.bytes() + " against " + other.bytes());
      return;
    }
    try (Tree.Content one = source.open(entry);
        Tree.Content two = target.open(other)) {
      long offset = firstDifference(one.stream(), two.stream());
      if (offset >= 0) {
        String place = "first at byte " + offset + " of " + entry.bytes();
        findings.differ(entry.path(), "content", place);
      }
      compareMetadata(entry.path(), one.metadata(), two.metadata(), true);
    }
  }

  /** The offset of the first byte that differs, or -1. */
  private long firstDifference(InputStream one, InputStream two) throws IOException {
    long offset = 0;
    while (true) {
      byte[] left = one.readNBytes(1 << 16);
      byte[] right = two.readNBytes(1 << 16);
      int index = Arrays.mismatch(left, right);
      if (index >= 0) {
        return offset + index;
      }
      if (left.length == 0) {
        findings.count("bytes_compared", offset);
        return -1;
      }
      offset += left.length;
    }
  }

  private void compareDirectory(Tree.Entry entry, NavigableMap<String, Tree.Entry> there)
      throws IOException {
    findings.count("directories");
    if (entry.path().isEmpty()) {
      return;
    }
    Tree.Entry other = there.get(targetHasMarkers ? entry.path() + "/" : entry.path());
    if (other == null || other.kind() != Tree.Kind.DIRECTORY) {
      // One whose children are all excluded may be taken for empty or not.
      boolean needed = targetHasMarkers ? !entry.hasChildren() : true;
      if (needed) {
        findings.differ(entry.path(), "missing_directory", "");
      }
      return;
    }
    // A directory with children may keep an old marker, whose metadata nobody keeps up.
    if (!entry.hasIncludedChildren() || !targetHasMarkers) {
      compareMetadata(
          entry.path(),
          source.directoryMetadata(entry),
          target.directoryMetadata(other),
          !options.ignoreDirectoryTimes());
    }
  }

  private void compareMetadata(String path, Metadata one, Metadata two, boolean compareMtime) {
    String difference =
        options.ignoreMetadata() ? null : one.difference(two, compareMtime);
    if (difference != null) {
      findings.differ(path, "metadata", difference);
    }
  }

  private static boolean isExpected(
      Tree.Entry entry, NavigableMap<String, Tree.Entry> here) {
    Tree.Entry counterpart = here.get(entry.path());
    return counterpart != null
        && (entry.kind() == Tree.Kind.DIRECTORY) == (counterpart.kind() == Tree.Kind.DIRECTORY);
  }
}
