package whimbrel.checker;

import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/** A folder of this machine. */
final class LocalTree implements Tree {
  private final Path root;
  private final Exclusions exclusions;

  LocalTree(Path root, Exclusions exclusions) {
    this.root = root;
    this.exclusions = exclusions;
  }

  @Override
  public NavigableMap<String, Entry> list() throws IOException {
    NavigableMap<String, Entry> entries = new TreeMap<>();
    Map<String, int[]> children = new TreeMap<>();
    Files.walkFileTree(
        root,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path path, BasicFileAttributes attributes) {
            String name = relative(path);
            if (!name.isEmpty() && count(name)) {
              return FileVisitResult.SKIP_SUBTREE;
            }
            children.put(name, new int[2]);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFile(Path path, BasicFileAttributes attributes) {
            String name = relative(path);
            if (name.isEmpty() || !count(name)) {
              Kind kind = attributes.isRegularFile() ? Kind.FILE : Kind.OTHER;
              entries.put(name, new Entry(name, kind, attributes.size(), false, false));
            }
            return FileVisitResult.CONTINUE;
          }

          /** Counts the path in its parent; true if it is excluded. */
          private boolean count(String name) {
            int slash = name.lastIndexOf('/');
            int[] counts = children.get(slash < 0 ? "" : name.substring(0, slash));
            boolean excluded = exclusions.excludes(name);
            counts[0]++;
            counts[1] += excluded ? 0 : 1;
            return excluded;
          }
        });
    children.forEach(
        (path, counts) ->
            entries.put(
                path, new Entry(path, Kind.DIRECTORY, 0, counts[0] > 0, counts[1] > 0)));
    return entries;
  }

  private String relative(Path path) {
    return root.relativize(path).toString();
  }

  private Path absolute(String path) {
    return path.isEmpty() ? root : root.resolve(path);
  }

  @Override
  public Content open(Entry file) throws IOException {
    Path path = absolute(file.path());
    return new Content(Files.newInputStream(path), metadata(path));
  }

  @Override
  public Metadata directoryMetadata(Entry directory) throws IOException {
    return metadata(absolute(directory.path()));
  }

  private static Metadata metadata(Path path) throws IOException {
    Map<String, Object> attributes =
        Files.readAttributes(
            path, "unix:owner,group,mode,lastModifiedTime", LinkOption.NOFOLLOW_LINKS);
    Instant modified = ((FileTime) attributes.get("lastModifiedTime")).toInstant();
    return new Metadata(
        attributes.get("owner").toString(),
        attributes.get("group").toString(),
        String.format("%04o", (int) attributes.get("mode") & 07777),
        BigDecimal.valueOf(modified.getEpochSecond())
            .add(BigDecimal.valueOf(modified.getNano(), 9)),
        null);
  }
}
