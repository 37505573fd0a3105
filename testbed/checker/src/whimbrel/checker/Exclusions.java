package whimbrel.checker;

import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.List;
import java.util.regex.Pattern;

/** Names that a migration leaves out by default, at any depth, and globs over the whole path. */
record Exclusions(boolean defaults, List<PathMatcher> globs) {
  private static final Pattern DEFAULTS =
      Pattern.compile(
          "\\.Trash|\\.snapshot|_temporary|\\.hive-staging.*|.*\\._COPYING_", Pattern.DOTALL);

  static PathMatcher glob(String pattern) {
    return FileSystems.getDefault().getPathMatcher("glob:" + pattern);
  }

  boolean excludes(String path) {
    String name = path.substring(path.lastIndexOf('/') + 1);
    if (defaults && DEFAULTS.matcher(name).matches()) {
      return true;
    }
    return globs.stream().anyMatch(glob -> glob.matches(Path.of(path)));
  }
}
