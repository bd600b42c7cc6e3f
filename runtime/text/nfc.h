// Unicode normalisation form C: decompose, put combining marks in order, compose. Linear but for
// the sorting of marks behind one letter.
#ifndef TRITSTACK_RUNTIME_TEXT_NFC_H_
#define TRITSTACK_RUNTIME_TEXT_NFC_H_

#include <string>

namespace trit {

// `text` is valid UTF-8.
std::string to_nfc(std::string text);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_NFC_H_
