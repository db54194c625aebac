#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Byte-level vocabularies write each byte as a printable character: bytes 33-126, 161-172 and 174-255 as the character of that number, the others,
// in order, as U+0100 and up (GPT-2's bytes_to_unicode).
namespace tunesmith::trainer {

// The character of a byte, in UTF-8.
std::string_view CharacterOfByte(uint8_t byte);

// The bytes that a vocabulary entry stands for; nothing where a character is not of the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

}  // namespace tunesmith::trainer
