// The APIs over real sockets with a tiny model behind them.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/json.h"
#include "bezel/service.h"
#include "engine/harness.h"
#include "server/client.h"
#include "server/front.h"

namespace bezel::test {

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline Json json_of(const std::string& text) {
  auto json = parse_json(text, "a test");
  EXPECT_TRUE(json) << text;
  return json ? *std::move(json) : Json::object();
}

// A completion of 4,000 tokens: no end, no end of a turn. Takes a second with kernels "scalar".
constexpr const char* kEndless = R"({"prompt":"abc","stream":true,"max_tokens":4000,)"
                                 R"("logit_bias":{"1":-100,"287":-100,"291":-100}})";

class Api : public testing::Test {
 protected:
  void SetUp() override { open(4, 8, ""); }
  void TearDown() override { close(); }

  void open(int sequences, int queue, const std::string& key, int context = 1024,
            const std::string& isa = "", const http::Options& http = {}) {
    static const ModelFolder folder("e2b", true);
    ServiceOptions o;
    o.engine = tiny(folder.path());
    o.engine.context = context;
    o.engine.isa = isa;
    o.engine.sequences = sequences;
    o.queue = queue;
    LoaderOptions l;
    l.service = o;
    l.first = model_;
    l.store = store_.get();
    l.keep_alive = keep_alive_;
    auto loader = Loader::start(l);
    ASSERT_TRUE(loader) << loader.error().text();
    loader_ = *std::move(loader);
    FrontOptions f;
    f.http = http;
    f.http.port = 0;
    f.api_key = key;
    f.model = model_;
    f.model_path = o.engine.model_path;
    f.chats = chats_.get();
    f.store = store_.get();
    auto front = Front::start(*loader_, f);
    ASSERT_TRUE(front) << front.error().text();
    front_ = *std::move(front);
  }
  void close() {
    if (front_) front_->stop(std::chrono::milliseconds(0));
    loader_.reset();
    front_.reset();
  }
  Response post(const std::string& path, const std::string& body, const std::string& more = "") {
    return ask(front_->port(), request("POST", path, body, more));
  }
  Response get(const std::string& path, const std::string& more = "") {
    return ask(front_->port(), request("GET", path, "", more));
  }

  const char* model_ = "tiny";
  std::unique_ptr<ChatStore> chats_;   // saved where a test has opened it
  std::unique_ptr<ModelStore> store_;  // other models where a test has them
  std::chrono::seconds keep_alive_{300};
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Front> front_;
};

// Events of a stream, each under its own name: the data of all.
inline std::vector<Json> named_events(const std::string& body) {
  std::vector<Json> out;
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t data = body.find("\ndata: ", at), end = body.find("\n\n", at);
    if (data == std::string::npos || end == std::string::npos) break;
    out.push_back(json_of(body.substr(data + 7, end - data - 7)));
    EXPECT_EQ(body.substr(at, data - at), "event: " + out.back()["type"].get<std::string>());
    at = end + 2;
  }
  return out;
}

}  // namespace bezel::test
