package godwit;

import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Test;

/** Plays the scenarios that internal/pipeline/jenkins_test.go has written, and leaves their traces to it. */
public class JenkinsfileTest {
  private final Path scenarios = Path.of(System.getProperty("scenarios"));

  @Test
  public void scenarios() throws Exception {
    List<Path> all;
    try (var files = Files.list(scenarios)) {
      all = files.filter(f -> f.toString().endsWith(".scenario")).sorted().toList();
    }
    assertFalse("no scenarios", all.isEmpty());
    for (Path file : all) {
      Map<String, String> scenario = new LinkedHashMap<>();
      for (String line : Files.readAllLines(file)) {
        String[] pair = line.split("=", 2);
        scenario.put(pair[0], pair[1]);
      }
      Build build = new Build(scenario);
      build.run(scenarios.toString(), scenario.get("file"));
      Files.write(Path.of(file.toString().replace(".scenario", ".trace")), build.trace);
    }
  }

  /** What Jenkins would refuse is refused here too: else the scenarios would prove little. */
  @Test
  public void grammar() throws Exception {
    Map<String, String> wrong = new LinkedHashMap<>();
    wrong.put("no agent", "stages { stage('a') { steps { echo 'x' } } }");
    wrong.put("no stages", "agent none");
    wrong.put("stage without body", "agent none; stages { stage('a') { agent { node { label 'x' } } } }");
    wrong.put("two bodies", "agent none; stages { stage('a') { steps { echo 'x' }; parallel { stage('b') { steps { echo 'x' } } } } }");
    wrong.put("agent beside parallel", "agent none; stages { stage('a') { agent { node { label 'x' } }; parallel { stage('b') { steps { echo 'x' } } } } }");
    wrong.put("unknown directive", "agent none; stages { stage('a') { step { echo 'x' } } }");
    wrong.put("unknown option", "agent none; options { disableConcurrent() }; stages { stage('a') { steps { echo 'x' } } }");
    wrong.put("same name twice", "agent none; stages { stage('a') { steps { echo 'x' } }; stage('a') { steps { echo 'x' } } }");
    wrong.put("unknown post", "agent none; stages { stage('a') { steps { echo 'x' }; post { afterwards { echo 'x' } } } }");
    wrong.put("loose step", "agent none; stages { stage('a') { sh 'x' } }");
    for (Map.Entry<String, String> entry : wrong.entrySet()) {
      Path file = Files.createTempFile(scenarios, "wrong", ".jenkins");
      Files.writeString(file, "pipeline { " + entry.getValue() + " }");
      Build build = new Build(Map.of());
      assertThrows(entry.getKey(), Block.Ungrammatical.class, () -> build.run(scenarios.toString(), file.getFileName().toString()));
    }
    Path file = Files.createTempFile(scenarios, "node", ".jenkins");
    Files.writeString(file, "pipeline { agent none; stages { stage('a') { steps { sh label: 'x', script: 'y' } } } }");
    Build build = new Build(Map.of());
    build.run(scenarios.toString(), file.getFileName().toString());
    assertTrue(build.trace.toString(), build.trace.contains("result FAILURE"));
  }
}
