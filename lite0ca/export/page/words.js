// Every sentence of the page in its two languages.

export const WORDS = {
  en: {
    title: "Leaf check",
    other: "Tiếng Việt",
    invitation: "Take or choose a photo of one leaf",
    drop: "or drop or paste one here",
    take: "Take photo",
    choose: "Choose",
    point: "Live view",
    stop: "Stop",
    live: "Live",
    photo: "The photo that was looked at",
    loading: "Loading the model",
    loaded: (got, of) => `${got} of ${of} MB, once; after that it works offline`,
    starting: "Starting the model …",
    ready: "Ready",
    looking: "Looking …",
    unsure: "Not sure",
    advice: "go nearer, one leaf, in daylight",
    unlike: "unlike the photos it learned from",
    noLeaf: "Perhaps no leaf at all",
    likely: (name, share) => `Perhaps ${name}, ${share}`,
    ifLeaf: (name, share) => `If it is one: ${name}, ${share}`,
    here: "Answered on this device",
    bars: "Probability of each class",
    knows: (count) =>
      `The model knows only these ${count} classes: whatever it is shown, it names one of them.`,
    expert: "It is no substitute for an expert. No photo leaves this device.",
    drawn: "This model was trained on drawings: its answers say nothing about leaves.",
    newer: "A newer version is here.",
    reload: "Reload",
    retry: "Try again",
    about: "About the model",
    facts: {
      name: "Model",
      data: "Trained on",
      drawings: "drawings, no leaves",
      sure: "Sure from",
      like: "for photos like those it learned from",
      never: "never: no threshold is known",
      photo: "Looks at",
      size: "Size",
      version: "Version",
      runtime: "Runs on",
      threads: (count) => (count === 1 ? "1 thread" : `${count} threads`),
    },
    trouble: {
      network: "The model could not be loaded. Is there a connection?",
      model: "The model's file is damaged or cannot be read.",
      browser: "This browser is too old to run the model. Please update it.",
      run: "The model could not answer this photo.",
      photo: "This file cannot be read as a photo. Try a JPEG, PNG or WebP.",
      refused:
        "The camera was refused. Allow it in the browser's settings, or choose a photo.",
      missing: "There is no camera on this device. Choose a photo.",
      busy: "The camera cannot be used; perhaps another program has it.",
      insecure: "The live camera needs https, or localhost. Choose a photo.",
    },
  },
  vi: {
    title: "Soi bệnh lá",
    other: "English",
    invitation: "Chụp hoặc chọn ảnh một chiếc lá",
    drop: "hoặc kéo thả, dán ảnh vào đây",
    take: "Chụp ảnh",
    choose: "Chọn ảnh",
    point: "Camera",
    stop: "Dừng",
    live: "Trực tiếp",
    photo: "Ảnh vừa được xem",
    loading: "Đang tải mô hình",
    loaded: (got, of) => `${got} / ${of} MB, chỉ một lần; sau đó dùng được cả khi không có mạng`,
    starting: "Đang khởi động mô hình …",
    ready: "Sẵn sàng",
    looking: "Đang xem …",
    unsure: "Chưa chắc",
    advice: "chụp gần hơn, một lá, lúc trời sáng",
    unlike: "không giống các ảnh mô hình đã học",
    noLeaf: "Có lẽ không phải lá cây",
    likely: (name, share) => `Có thể là ${name}, ${share}`,
    ifLeaf: (name, share) => `Nếu đúng là lá: ${name}, ${share}`,
    here: "Trả lời ngay trên máy này",
    bars: "Xác suất của từng lớp",
    knows: (count) =>
      `Mô hình chỉ biết ${count} lớp này: đưa ảnh gì vào nó cũng gọi tên một trong số đó.`,
    expert: "Không thay được chuyên gia. Ảnh không rời khỏi máy này.",
    drawn: "Mô hình này học từ hình vẽ: câu trả lời không nói gì về lá thật.",
    newer: "Đã có bản mới.",
    reload: "Tải lại",
    retry: "Thử lại",
    about: "Về mô hình",
    facts: {
      name: "Mô hình",
      data: "Học từ",
      drawings: "hình vẽ, không phải lá",
      sure: "Chắc chắn từ",
      like: "với ảnh giống các ảnh đã học",
      never: "không bao giờ: chưa biết ngưỡng",
      photo: "Ảnh đầu vào",
      size: "Dung lượng",
      version: "Phiên bản",
      runtime: "Chạy bằng",
      threads: (count) => `${count} luồng`,
    },
    trouble: {
      network: "Không tải được mô hình. Máy có kết nối mạng không?",
      model: "Tệp mô hình bị hỏng hoặc không đọc được.",
      browser: "Trình duyệt này quá cũ, không chạy được mô hình. Hãy cập nhật.",
      run: "Mô hình không trả lời được ảnh này.",
      photo: "Không đọc được tệp này như một ảnh. Hãy thử JPEG, PNG hoặc WebP.",
      refused:
        "Camera bị từ chối. Hãy cho phép trang này dùng camera trong cài đặt, hoặc chọn một ảnh.",
      missing: "Máy này không có camera. Hãy chọn một ảnh.",
      busy: "Không dùng được camera; có thể chương trình khác đang dùng.",
      insecure: "Camera trực tiếp cần https hoặc localhost. Hãy chọn một ảnh.",
    },
  },
};

export function firstLanguage() {
  const chosen = remembered();
  return chosen in WORDS ? chosen : navigator.language.startsWith("vi") ? "vi" : "en";
}

// Storage is closed to a page in some private windows.
function remembered() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null;
  }
}

export function remember(language) {
  try {
    localStorage.setItem("language", language);
  } catch {
    // asked of the browser again next time
  }
}
