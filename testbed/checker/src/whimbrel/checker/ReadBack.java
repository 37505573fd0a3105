package whimbrel.checker;

import java.io.IOException;
import java.io.PrintStream;
import java.util.HashSet;
import java.util.NavigableMap;
import java.util.Set;

/** Compares paths, kinds and lengths of a source with what S3A lists of the target. */
final class ReadBack {
  private final Tree source;
  private final S3aTree target;
  private final Findings findings;

  ReadBack(Tree source, S3aTree target, PrintStream out) {
    this.source = source;
    this.target = target;
    this.findings = new Findings(out);
  }

  /** True if nothing differs. */
  boolean run() throws IOException {
    NavigableMap<String, Tree.Entry> here = source.list();
    NavigableMap<String, Tree.Entry> walked = target.walk();
    NavigableMap<String, Tree.Entry> flat = target.files();
    Set<String> needed = needed(here);
    here.remove("");
    for (Tree.Entry entry : here.values()) {
      Tree.Entry other = walked.get(entry.path());
      if (entry.kind() == Tree.Kind.DIRECTORY) {
        findings.count("directories");
        compareDirectory(entry, other, needed);
      } else {
        findings.count("files");
        compareFile(entry, other, "directory by directory");
        compareFile(entry, flat.get(entry.path()), "all files at once");
      }
    }
    refuseExtras(walked, here, "directory by directory");
    refuseExtras(flat, here, "all files at once");
    return findings.summarize();
  }

  /** Empty directories, and all that hold one or a file: one whose children are all left out may
   * be missing. */
  private static Set<String> needed(NavigableMap<String, Tree.Entry> here) {
    Set<String> needed = new HashSet<>();
    for (Tree.Entry entry : here.values()) {
      if (entry.kind() == Tree.Kind.DIRECTORY && entry.hasChildren()) {
        continue;
      }
      String path = entry.path();
      while (needed.add(path) && path.indexOf('/') >= 0) {
        path = path.substring(0, path.lastIndexOf('/'));
      }
    }
    return needed;
  }

  private void compareDirectory(Tree.Entry entry, Tree.Entry other, Set<String> needed) {
    if (other == null) {
      if (needed.contains(entry.path())) {
        findings.differ(entry.path(), "missing_directory", "S3A does not list it");
      }
    } else if (other.kind() != Tree.Kind.DIRECTORY) {
      findings.differ(entry.path(), "kind", "a directory at the source, a file for S3A");
    }
  }

  private void compareFile(Tree.Entry entry, Tree.Entry other, String listing) {
    if (other == null) {
      findings.differ(entry.path(), "missing", "S3A does not list it: " + listing);
    } else if (other.kind() != Tree.Kind.FILE) {
      findings.differ(entry.path(), "kind", "a file at the source, a directory for S3A");
    } else if (entry.bytes() != other.bytes()) {
      String lengths = entry.bytes() + " against " + other.bytes() + ": " + listing;
      findings.differ(entry.path(), "length", lengths);
    }
  }

  private void refuseExtras(
      NavigableMap<String, Tree.Entry> there,
      NavigableMap<String, Tree.Entry> here,
      String listing) {
    for (String path : there.keySet()) {
      if (!here.containsKey(path)) {
        findings.differ(path, "extra", "S3A alone lists it: " + listing);
      }
    }
  }
}
