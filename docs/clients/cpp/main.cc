// An example client: a device, automation software, a wallboard. See README.md beside it.

#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

#include "client.h"

namespace {

int Usage() {
  std::cerr << "usage: hotspare-client publish [COUNT] | follow [COUNT] | members [MOVES] | test | errors" << std::endl;
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return Usage();
  const std::string command = argv[1];
  std::optional<unsigned> number;
  if (argc == 3) {
    char* end = nullptr;
    number = static_cast<unsigned>(std::strtoul(argv[2], &end, 10));
    if (end == argv[2] || *end != '\0') return Usage();
  }
  try {
    if (command == "publish") return client::Publish(number.value_or(1));
    if (command == "follow") return client::Follow(number.value_or(0));
    if (command == "members") return client::Members(number.value_or(0));
    if (command == "test") return client::Test();
    if (command == "errors") return client::Errors();
    return Usage();
  } catch (const std::exception& problem) {  // what is not set, or can't be read
    std::cerr << problem.what() << std::endl;
    return 1;
  }
}
