// Copyright Argus export authors. SPDX-License-Identifier: Apache-2.0

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Set;
import jdk.jfr.Timespan;
import jdk.jfr.Timestamp;
import jdk.jfr.ValueDescriptor;
import jdk.jfr.consumer.EventStream;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordedObject;

/**
 * Writes the events of a running JVM's Flight Recorder repository, each as it is flushed, as a line
 * of JSON: {"end": NS, "type": NAME, "values": {...}}, with the values that `jfr print --json` has. It
 * begins with all that the repository holds. A line {} comes after each flush.
 *
 * <p>Arguments: the repository; a time, in nanoseconds since the epoch; types, between commas, whose
 * events come whenever they were; types whose events come if they ended after that time. It ends when its
 * standard input does, so that it does not outlive who started it.
 */
final class FollowRepository {
  // What nobody reads of a class or a thread, and there is one with every frame.
  private static final Set<String> LEFT_OUT = Set.of("classLoader", "package", "group", "modifiers", "descriptor");

  public static void main(String[] arguments) throws Exception {
    endWithStandardInput();
    long afterNs = Long.parseLong(arguments[1]);
    Set<String> always = Set.of(arguments[2].split(","));
    var out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    var line = new StringBuilder();
    try (EventStream stream = EventStream.openRepository(Path.of(arguments[0]))) {
      stream.setStartTime(Instant.EPOCH);
      for (String type : (arguments[2] + "," + arguments[3]).split(",")) {
        stream.onEvent(type, event -> {
          long endNs = nanoseconds(event.getEndTime());
          if (endNs > afterNs || always.contains(type)) {
            line.setLength(0);
            line.append("{\"end\":").append(endNs).append(",\"type\":");
            writeText(line, type);
            line.append(",\"values\":");
            writeObject(line, event);
            out.append(line.append("}\n"));
          }
        });
      }
      stream.onFlush(() -> {
        out.append("{}\n");
        out.flush();
      });
      stream.start();
    }
  }

  private static void endWithStandardInput() {
    var watch = new Thread(() -> {
      try {
        System.in.transferTo(java.io.OutputStream.nullOutputStream());
      } catch (java.io.IOException e) {
        // As good as its end.
      }
      Runtime.getRuntime().halt(0);
    });
    watch.setDaemon(true);
    watch.start();
  }

  private static long nanoseconds(Instant instant) {
    return instant.getEpochSecond() * 1_000_000_000L + instant.getNano();
  }

  private static void writeObject(StringBuilder line, RecordedObject object) {
    char separator = '{';
    for (ValueDescriptor field : object.getFields()) {
      String name = field.getName();
      if (LEFT_OUT.contains(name)) {
        continue;
      }
      line.append(separator);
      writeText(line, name);
      line.append(':');
      if (field.getAnnotation(Timestamp.class) != null) {
        writeText(line, object.getInstant(name).toString());
      } else if (field.getAnnotation(Timespan.class) != null) {
        Duration duration = object.getDuration(name);
        writeText(line, duration.toString());
      } else {
        writeValue(line, object.getValue(name));
      }
      separator = ',';
    }
    line.append(separator == '{' ? "{}" : "}");
  }

  private static void writeValue(StringBuilder line, Object value) {
    if (value instanceof RecordedObject object) {
      writeObject(line, object);
    } else if (value instanceof Object[] array) {
      writeArray(line, Arrays.asList(array));
    } else if (value instanceof Iterable<?> list) {
      writeArray(line, list);
    } else if (value instanceof Double || value instanceof Float) {
      line.append(Double.isFinite(((Number) value).doubleValue()) ? value : "null");
    } else if (value instanceof Number || value instanceof Boolean || value == null) {
      line.append(value);
    } else {
      writeText(line, value.toString());
    }
  }

  private static void writeArray(StringBuilder line, Iterable<?> values) {
    char separator = '[';
    for (Object value : values) {
      line.append(separator);
      writeValue(line, value);
      separator = ',';
    }
    line.append(separator == '[' ? "[]" : "]");
  }

  private static void writeText(StringBuilder line, String text) {
    line.append('"');
    for (int place = 0; place < text.length(); place++) {
      char character = text.charAt(place);
      if (character == '"' || character == '\\') {
        line.append('\\').append(character);
      } else if (character < ' ' || Character.isSurrogate(character)) {
        line.append(String.format("\\u%04x", (int) character));
      } else {
        line.append(character);
      }
    }
    line.append('"');
  }
}
