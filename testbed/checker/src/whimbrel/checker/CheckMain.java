package whimbrel.checker;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.List;

/**
 * Compares two trees, lists a target as Hadoop's own client does, or watches it for commits that
 * come too early. It shares no code with Whimbrel. Lines of JSON on standard output, a summary at last; exit 0 if nothing is wrong, 1 if
 * something is, 2 if it could not look.
 *
 * <p>{@code CheckMain compare SOURCE TARGET [--ignore-extras] [--ignore-metadata]
 * [--ignore-directory-times] [--no-default-excludes] [--exclude GLOB]...}, {@code CheckMain
 * read-back SOURCE TARGET}, {@code CheckMain poll-commits TARGET}, {@code CheckMain s3-operations
 * TARGET}, which reads {@link S3Operations} from standard input, {@code CheckMain create-bucket
 * NAME}. Sides are {@code hdfs://}, {@code s3://} and local paths.
 */
public final class CheckMain {
  private CheckMain() {}

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    int status;
    try {
      status = run(arguments, out) ? 0 : 1;
    } catch (Exception failure) {
      failure.printStackTrace();
      status = 2;
    }
    System.exit(status);
  }

  private static boolean run(String[] arguments, PrintStream out) throws Exception {
    List<String> places = new ArrayList<>();
    List<PathMatcher> globs = new ArrayList<>();
    boolean ignoreExtras = false;
    boolean ignoreMetadata = false;
    boolean ignoreDirectoryTimes = false;
    boolean defaults = true;
    for (int index = 1; index < arguments.length; index++) {
      switch (arguments[index]) {
        case "--ignore-extras" -> ignoreExtras = true;
        case "--ignore-metadata" -> ignoreMetadata = true;
        case "--ignore-directory-times" -> ignoreDirectoryTimes = true;
        case "--no-default-excludes" -> defaults = false;
        case "--exclude" -> globs.add(Exclusions.glob(arguments[++index]));
        default -> places.add(arguments[index]);
      }
    }
    Exclusions exclusions = new Exclusions(defaults, globs);
    Comparison.Options options =
        new Comparison.Options(ignoreExtras, ignoreMetadata, ignoreDirectoryTimes);
    return switch (arguments[0]) {
      case "compare" -> {
        Tree source = tree(places.get(0), exclusions);
        Tree target = tree(places.get(1), exclusions);
        yield new Comparison(source, target, options, out).run();
      }
      case "read-back" -> {
        try (S3aTree target = new S3aTree(places.get(1))) {
          yield new ReadBack(tree(places.get(0), exclusions), target, out).run();
        }
      }
      case "poll-commits" -> new CommitPoller(new S3Tree(places.get(0), exclusions), out).run();
      case "s3-operations" ->
          new S3Operations(new S3Tree(places.get(0), exclusions), new Findings(out))
              .run(System.in);
      case "create-bucket" -> {
        new S3Tree("s3://" + places.get(0), exclusions)
            .client.createBucket(request -> request.bucket(places.get(0)));
        yield true;
      }
      default -> throw new IllegalArgumentException("unknown command " + arguments[0]);
    };
  }

  private static Tree tree(String place, Exclusions exclusions) throws IOException {
    if (place.startsWith("s3://") || place.startsWith("s3a://")) {
      return new S3Tree(place, exclusions);
    }
    if (place.startsWith("hdfs:")) {
      return new HdfsTree(place, exclusions);
    }
    String path = place.startsWith("file://") ? place.substring("file://".length()) : place;
    return new LocalTree(Path.of(path), exclusions);
  }
}
