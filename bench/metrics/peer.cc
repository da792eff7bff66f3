/* SPDX-License-Identifier: Apache-2.0
 * prometheus-cpp doing what bench.c does. */
#include "peer.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string>

namespace {

prometheus::Histogram::BucketBoundaries bounds() {
  prometheus::Histogram::BucketBoundaries edges;
  for (int power = -20; power <= 6; power += 2) edges.push_back(std::ldexp(1.0, power));
  return edges;
}

prometheus::Counter &counter() {
  static prometheus::Counter one;
  return one;
}

prometheus::Histogram &histogram() {
  static prometheus::Histogram one(bounds());
  return one;
}

std::unique_ptr<prometheus::Registry> registry(new prometheus::Registry);
std::string text;

}  // namespace

extern "C" void peer_counter_add(size_t times) {
  prometheus::Counter &one = counter();
  for (size_t i = 0; i < times; i++) one.Increment();
}

extern "C" double peer_counter_read(void) { return counter().Value(); }

extern "C" void peer_histogram_record(const double *values, size_t count, size_t times) {
  prometheus::Histogram &one = histogram();
  for (size_t i = 0; i < times; i++) one.Observe(values[i % count]);
}

extern "C" double peer_histogram_count(void) {
  return static_cast<double>(histogram().Collect().histogram.sample_count);
}

extern "C" void peer_forget(void) { registry.reset(new prometheus::Registry); }

extern "C" void peer_fill(size_t counters, size_t gauges, size_t histograms) {
  auto &requests = prometheus::BuildCounter().Name("requests_total").Help("Requests served.").Register(*registry);
  for (size_t i = 0; i < counters; i++)
    requests
        .Add({{"method", i % 2 ? "GET" : "POST"}, {"path", "/item/" + std::to_string(i)}, {"status", std::to_string(200 + i % 5)}})
        .Increment(static_cast<double>(i * 997));
  auto &temperatures = prometheus::BuildGauge().Name("temperature").Help("Of the sensors.").Register(*registry);
  for (size_t i = 0; i < gauges; i++)
    temperatures.Add({{"path", "/item/" + std::to_string(i)}}).Set(static_cast<double>(i + 1) / 7);
  auto &waits = prometheus::BuildHistogram().Name("wait_seconds").Help("Waiting time.").Register(*registry);
  for (size_t i = 0; i < histograms; i++) {
    auto &wait = waits.Add({{"path", "/item/" + std::to_string(i)}}, bounds());
    for (size_t j = 0; j < 100; j++) wait.Observe(0.001 * static_cast<double>(j + 1));
  }
}

extern "C" size_t peer_scrape(void) {
  text = prometheus::TextSerializer().Serialize(registry->Collect());
  return text.size();
}

extern "C" size_t peer_lines(void) {
  size_t comments = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) comments += line.empty() || line[0] == '#';
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) - comments;
}
