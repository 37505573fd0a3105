package whimbrel.checker;

import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What travels with a file besides its bytes. {@code mtime} is in seconds since the epoch; {@code
 * acl} holds the entries of the whole ACL, or is null without one. A field that a side does not
 * have is null and is not compared.
 */
record Metadata(String owner, String group, String mode, BigDecimal mtime, Set<String> acl) {
  /** From the user metadata of an object. */
  static Metadata fromObject(Map<String, String> fields) {
    String acl = fields.get("whimbrel-acl");
    String mtime = fields.get("mtime");
    return new Metadata(
        decode(fields.get("whimbrel-owner")),
        decode(fields.get("whimbrel-group")),
        fields.get("whimbrel-mode"),
        mtime == null ? null : new BigDecimal(mtime),
        acl == null ? null : acl(decode(acl)));
  }

  static Set<String> acl(String text) {
    return new TreeSet<>(Arrays.asList(text.split(",")));
  }

  /** What differs between the source's metadata, this, and an object's; null if nothing does. */
  String difference(Metadata target, boolean compareMtime) {
    if (differs(owner, target.owner)) {
      return "owner " + owner + " against " + target.owner;
    }
    if (differs(group, target.group)) {
      return "group " + group + " against " + target.group;
    }
    if (differs(mode, target.mode)) {
      return "mode " + mode + " against " + target.mode;
    }
    if (compareMtime && (target.mtime == null || mtime.compareTo(target.mtime) != 0)) {
      return "mtime " + mtime + " against " + target.mtime;
    }
    if (acl == null ? target.acl != null : !acl.equals(target.acl)) {
      return "acl " + acl + " against " + target.acl;
    }
    return null;
  }

  private static boolean differs(String source, String target) {
    return source != null && !source.equals(target);
  }

  /** Percent-decodes UTF-8; unlike in a form, a plus is a plus. */
  static String decode(String text) {
    if (text == null || text.indexOf('%') < 0) {
      return text;
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int index = 0; index < text.length(); index++) {
      char character = text.charAt(index);
      if (character == '%') {
        bytes.write(Integer.parseInt(text.substring(index + 1, index + 3), 16));
        index += 2;
      } else {
        bytes.write(character);
      }
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }
}
